from .importing import FORMATS as FORMATS
from .importing import import_table as import_table
