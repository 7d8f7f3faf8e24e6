"""The interface of scikit-learn's estimators: parameters by name, randomness, tags. scikit-learn is not needed."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ConvergenceWarning, ParameterError
from gmmquant.models.dataframes import difference_of_names, feature_names
from gmmquant.system.user_warning import warn_user

RandomState = int | np.random.Generator | np.random.RandomState | None


class Estimator:
    """An estimator whose constructor stores its arguments under their names and does nothing else."""

    _estimator_type: ClassVar[str]
    verbose: int
    feature_names_in_: npt.NDArray[Any]

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

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return the texts that notebooks show: scikit-learn's diagram, if it is installed and shows diagrams."""
        html = self._diagram()
        return {"text/plain": repr(self)} | ({} if html is None else {"text/html": html})

    def _diagram(self) -> str | None:
        try:
            from sklearn import get_config
            from sklearn.utils import estimator_html_repr
        except ModuleNotFoundError:
            return None
        return str(estimator_html_repr(self)) if get_config()["display"] == "diagram" else None

    def _keep_feature_names(self, X: object) -> None:
        """Set `feature_names_in_` to the names of the columns of `X`, or delete it if there are none."""
        names = feature_names(X)
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _check_feature_names(self, X: object) -> None:
        """Refuse other names than those of the fit; warn if only one of `X` and the fit has names."""
        names, fitted = feature_names(X), getattr(self, "feature_names_in_", None)
        name = type(self).__name__
        if names is not None and fitted is not None:
            difference = difference_of_names(names, fitted)
            if difference is not None:
                raise ParameterError(
                    f"the columns of X are not those that {name} was fitted to ({difference}); "
                    "select them by X[list(model.feature_names_in_)]"
                )
        elif names is not None:
            message = f"X has feature names, but {name} was fitted to an array without names; order decides"
            warn_user(message, UserWarning)
        elif fitted is not None:
            message = f"X has no feature names, but {name} was fitted to a data frame; its columns are taken in order"
            warn_user(message, UserWarning)

    def _warn(self, message: str) -> None:
        """Warn the user that a fit did not converge."""
        warn_user(message, ConvergenceWarning)

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
            f"random_state = {random_state!r} is not a seed; use an integer of at least 0, a Generator, a RandomState "
            "or None"
        ) from None
