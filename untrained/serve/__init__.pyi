from .app import app_of as app_of
from .library import Library as Library
from .server import serve as serve
