"""Work in a cluster of computers, by Dask, which is imported in this package only."""

from gmmquant.errors import ParameterError
from gmmquant.system.installation import CLUSTER, missing

try:
    import distributed as distributed
except ImportError as error:
    need = CLUSTER._replace(reason=f"a cluster needs the package {error.name}")
    raise ParameterError(missing(need)) from None
