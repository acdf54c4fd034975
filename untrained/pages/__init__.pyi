from .board_page import report_board as report_board
from .page import write_report as write_report
from .ranking_page import report_ranking as report_ranking
from .stored import report_run as report_run
from .stored import report_track as report_track
