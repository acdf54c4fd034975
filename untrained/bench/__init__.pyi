from .benching import bench as bench
from .benching import bench_run as bench_run
from .config import BenchConfig as BenchConfig
from .leaderboard import Known as Known
from .leaderboard import Leaderboard as Leaderboard
from .leaderboard import rank_scores as rank_scores
