"""Errors of a job become a failure: the reason and a remedy, in one line."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

from gmmquant.errors import GmmquantError, OtherSettingsError, OutputError
from gmmquant.pipeline.plan import Job
from gmmquant.report.outcome import Failure
from gmmquant.system.process import system_reason, unexpected_reason

# Errors of the system that the images after it would share.
_HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

Result = TypeVar("Result")


def attempt(job: Job, work: Callable[[], Result]) -> Result | Failure:
    """Return the result of `work` on a job, or a `Failure` with the reason in one line."""
    try:
        return work()
    except OutputError as error:
        return refuse_existing(job, str(error))
    except OtherSettingsError as error:
        return failure_of(job, str(error))._replace(other_settings=error.settings)
    except GmmquantError as error:
        return failure_of(job, str(error))
    except OSError as error:
        reason = f"cannot write to {job.folder}: {system_reason(error)}"
        return failure_of(job, reason, hopeless=error.errno in _HOPELESS)
    except MemoryError:
        return failure_of(job, "not enough memory; scale the image down or use fewer colours")
    except Exception as error:  # a bug, here or in a library, or a failed import; the run goes on with other images
        return failure_of(job, unexpected_reason(error))


def failure_of(job: Job, reason: str, *, hopeless: bool = False) -> Failure:
    """Return the failure of a job for a reason in one line; it is `hopeless` if the jobs after it would share it."""
    return Failure(job.source, reason, hopeless, is_image=not job.is_shared_report)


def refuse_existing(job: Job, reason: str) -> Failure:
    """Return the failure of a job because of an output that exists."""
    other = "--output" if job.image_name else "--name"
    remedy = f"--force to replace it, --skip-existing to write what is missing, or another {other}"
    failure = failure_of(job, f"{reason}; use {remedy}")
    return failure._replace(outputs_exist=True)
