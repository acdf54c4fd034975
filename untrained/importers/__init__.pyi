from .adding import add_table as add_table
from .importing import FORMATS as FORMATS
from .importing import import_table as import_table
