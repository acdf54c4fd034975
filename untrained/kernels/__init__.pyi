from .nngp import NNGP as NNGP
from .nngp import nngp as nngp
from .ntk import ntk as ntk
from .ntk import ntk_contributions as ntk_contributions
from .ntk import ntk_operator as ntk_operator
from .products import NTKOperator as NTKOperator
from .products import conjugate_gradients as conjugate_gradients
from .products import largest_eigenvalues as largest_eigenvalues
