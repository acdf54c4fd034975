from .config import RankConfig as RankConfig
from .measured import rank as rank
from .ranking import Ranking as Ranking
from .standing import Standing as Standing
from .standing import standings as standings
