"""The interface of scikit-learn's estimators: parameters by name, randomness, tags. scikit-learn is not needed."""

from __future__ import annotations

import inspect
import warnings
from typing import Any, ClassVar, Self

import numpy as np

from gmmquant.errors import ConvergenceWarning, ParameterError

RandomState = int | np.random.Generator | np.random.RandomState | None


class Estimator:
    """An estimator whose constructor stores its arguments under their names and does nothing else."""

    _estimator_type: ClassVar[str]
    verbose: int

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments by name; `deep` changes nothing, as none of them is an estimator."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor by name and return the estimator.

        Raises
        ------
        ParameterError
            If the constructor has no such argument.
        """
        names = self._parameter_names()
        for name, value in params.items():
            if name not in names:
                raise ParameterError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(names)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Return the constructor's call with the arguments that differ from their defaults."""
        defaults, values = inspect.signature(type(self)).parameters, self.get_params()
        changed = [f"{name}={value!r}" for name, value in values.items() if repr(value) != repr(defaults[name].default)]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator to scikit-learn, the only caller, so that it works in pipelines."""
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=self._estimator_type,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags() if hasattr(self, "transform") else None,
        )

    def _warn(self, message: str) -> None:
        """Warn the caller of the method that calls this."""
        warnings.warn(message, ConvergenceWarning, stacklevel=3)

    def _print(self, message: str, details: str = "") -> None:
        """Print a line to standard output if `verbose` is at least 1, with details if it is at least 2."""
        if self.verbose:
            print(message + (details if self.verbose > 1 else ""))  # noqa: T201 - only here, and only if asked to

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)


def random_generator(random_state: RandomState) -> np.random.Generator:
    """Return the generator for `random_state`; a RandomState supplies a seed and is advanced."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError):
        raise ParameterError(
            f"random_state = {random_state!r} is not a seed; use an integer of at least 0, a Generator or None"
        ) from None
