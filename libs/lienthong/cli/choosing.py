"""Which profile a command uses: the one that was named, or the one person who can do this here.

People type little: `--profile H01` means H01's profile in the role that the command needs, and without any
the default profile, or the only fitting one of its organization.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lienthong.cli.exits import UsageRefused
from lienthong.errors import DomainError

if TYPE_CHECKING:
    from lienthong.client.profiles import Profile, Profiles

# Most fitting first.
LEADER: Final = ("leader",)
CLERKS: Final = ("clerk", "client")
MEMBERS: Final = ("clerk", "client", "leader")
OPERATORS: Final = ("operator", "auditor")

_FILE: Final = "profiles.yaml"


def profiles_file(given: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """--profiles, then LIENTHONG_PROFILES, ./profiles.yaml, ~/.config/lienthong/profiles.yaml."""
    named = given or (Path(environ["LIENTHONG_PROFILES"]) if environ.get("LIENTHONG_PROFILES") else None)
    if named is not None:
        if not named.is_file():
            raise UsageRefused("PROFILES_MISSING", f"no file of profiles at {named}", field="profiles")
        return named
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config")
    places = (Path(_FILE), home / "lienthong" / _FILE)
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(map(str, places))
    raise UsageRefused("PROFILES_MISSING", f"no file of profiles: looked for {looked}", field="profiles")


def kind_of(profile: Profile) -> str:
    """leader, clerk, client, operator, auditor: by the certificate; empty when it cannot be read."""
    from cryptography import x509
    from lienthong.pki.identity import identity_of

    try:
        certificate = x509.load_pem_x509_certificate(profile.certificate.read_bytes())
        return identity_of(certificate).kind.value
    except (OSError, ValueError, DomainError):
        return ""


def choose(
    profiles: Profiles, wanted: str | None, roles: Sequence[str], organization: str = ""
) -> tuple[str, Profile]:
    """The profile for a command that one of `roles` may give, for an organization if one is named."""
    if wanted and wanted in profiles.profiles:
        found = wanted, profiles.profiles[wanted]
        return _speaking_for(organization, found)
    if wanted:
        pool = {name: p for name, p in profiles.profiles.items() if _meant(wanted, name, p, roles)}
        if not pool:
            profiles.named(wanted)  # raises, and names those there are
    else:
        default = profiles.profiles.get(profiles.default or "")
        if default is not None and profiles.default and _fits(default, roles, organization):
            return profiles.default, default
        pool = _near(profiles, default, roles, organization)
    return _only_one(pool, roles, organization, fallback=profiles.default if not wanted else None)


def _meant(wanted: str, name: str, profile: Profile, roles: Sequence[str]) -> bool:
    """`H01` is whoever speaks for H01, or its node's operators; `H01/clerk` the profiles so called."""
    if roles is OPERATORS and profile.organization is None and profile.node == wanted:
        return True
    return profile.organization == wanted or name.startswith(f"{wanted}/")


def _near(
    profiles: Profiles, default: Profile | None, roles: Sequence[str], organization: str
) -> dict[str, Profile]:
    """The profiles of the same organization, or (for operators, who have none) of the same node."""
    if organization:
        return {name: p for name, p in profiles.profiles.items() if p.organization == organization}
    if default is None:
        return dict(profiles.profiles)
    if roles is OPERATORS:
        return {
            name: p for name, p in profiles.profiles.items() if p.node == default.node and not p.organization
        }
    code = default.organization
    return {name: p for name, p in profiles.profiles.items() if code is not None and p.organization == code}


def _only_one(
    pool: Mapping[str, Profile], roles: Sequence[str], organization: str, fallback: str | None
) -> tuple[str, Profile]:
    """The one profile in the most fitting role; who is one of several must say which."""
    fitting: dict[str, list[str]] = {role: [] for role in roles}
    for name, profile in pool.items():
        fitting.get(kind_of(profile), []).append(name)
    for role in roles:
        if len(fitting[role]) == 1:
            name = fitting[role][0]
            return _speaking_for(organization, (name, pool[name]))
        if fitting[role]:
            names = ", ".join(sorted(fitting[role])[:10])
            message = f"several profiles fit, say which with --profile: {names}"
            raise UsageRefused("PROFILE_AMBIGUOUS", message, field="profile")
    needed = " / ".join(roles)
    whom = organization or fallback or "this command"
    raise UsageRefused("PROFILE_UNSUITABLE", f"no profile of a {needed} for {whom}", field="profile")


def _fits(profile: Profile, roles: Sequence[str], organization: str) -> bool:
    return organization in ("", profile.organization) and kind_of(profile) in roles


def _speaking_for(organization: str, found: tuple[str, Profile]) -> tuple[str, Profile]:
    name, profile = found
    if organization not in ("", profile.organization):
        message = f"profile {name} speaks for {profile.organization or 'no organization'}, not {organization}"
        raise UsageRefused("PROFILE_UNSUITABLE", message, field="from")
    return found
