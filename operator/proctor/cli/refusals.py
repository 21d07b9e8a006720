"""What other libraries raise, in our own words: the one place where their exceptions are known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from proctor.cli.errors import Away, CliError


@contextmanager
def refusal(about: str, host: str) -> Iterator[None]:
    """Turns what the official client and its transport raise into a CliError that names `about` and `host`."""
    from kubernetes.client import ApiException
    from kubernetes.config.config_exception import ConfigException
    from urllib3 import exceptions as transport

    try:
        yield
    except transport.SSLError as exc:
        raise CliError(
            f"{about}: the certificate of {host} is not accepted: {cause(exc)}",
            "is the kubeconfig of another cluster, or of one that was made anew?",
        ) from exc
    except (transport.ReadTimeoutError, transport.ConnectTimeoutError) as exc:
        raise Away(f"{about}: {host} did not answer in time") from exc
    except (transport.HTTPError, OSError) as exc:
        raise Away(
            f"{about}: the API server {host} cannot be reached: {cause(exc)}",
            "kubectl cluster-info    tries the same with kubectl",
        ) from exc
    except (ApiException, ConfigException) as exc:
        raise CliError(f"{about}: {exc}") from exc


def cause(exc: BaseException) -> str:
    """The innermost cause that says something: the outer ones repeat the URL and the address of an object."""
    reason = getattr(exc, "reason", None)
    if isinstance(reason, BaseException):
        return cause(reason)
    return re.sub(r"^\[Errno -?[0-9]+\] ", "", str(exc).rsplit(": ", 1)[-1]) or type(exc).__name__
