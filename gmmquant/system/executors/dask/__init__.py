"""Work in a cluster of computers, by Dask, which is imported in this package only."""

from gmmquant.errors import ParameterError

try:
    import distributed as distributed
except ImportError as missing:
    raise ParameterError(
        f"a cluster needs the package {missing.name}; install it with pip install 'gmmquant[cluster]'"
    ) from None
