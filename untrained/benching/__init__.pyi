from .bench import bench as bench
from .bench import bench_run as bench_run
from .config import BenchConfig as BenchConfig
from .leaderboard import Leaderboard as Leaderboard
from .ranking import Known as Known
from .ranking import rank_scores as rank_scores
