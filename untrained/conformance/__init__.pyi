from .checking import check as check
from .finding import Finding as Finding
