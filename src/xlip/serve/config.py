"""The options of `xlip serve`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from xlip.errors import XLIPError

COMMON_KINDS = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Effusion,Emphysema,Fibrosis,Hernia,Infiltration,Mass,Nodule,"
    "Pleural_Thickening,Pneumonia,Pneumothorax,No_Finding"
)
"""What is scored by default: the kinds of ChestX-ray14, and none of them."""


@dataclass(frozen=True)
class ServeConfig:
    """`xlip serve`."""

    model: str
    """An exported folder, the folder of a run, or any other model that `xlip zeroshot` takes."""
    host: str = "127.0.0.1"
    """The address to listen on; any but this machine's own needs tokens."""
    port: int = 8000
    """0 takes a free one, which is printed."""
    hosts: str = ""
    """Names under which clients may reach the service (the Host header), separated by commas. On the loopback address
    localhost is always one of them and nothing else is; elsewhere the default is any name."""
    tokens: str = ""
    """File with one `KEY_ID:TOKEN` a line. The variable XLIP_TOKENS holds the same, separated by commas."""
    prompts: str = "xlip"
    """The prompt set that kinds are scored by: a shipped one or a YAML file."""
    kinds: str = ""
    """Kinds that are scored where a request names none, separated by commas. Default: those of the population, else
    the kinds of ChestX-ray14."""
    index: str = ""
    """Folder of `xlip embed`: similar cases are looked up in it."""
    population: str = ""
    """Folder of `xlip zeroshot` or its scores.csv: the scores that a film's are shown beside. Default: the films of
    the index."""
    calibration: str = ""
    """Folder of `xlip zeroshot` on validation films, or a file of its scores with labels: scores become
    probabilities by it."""
    rule: str = ""
    """File of `xlip abstain`, below whose thresholds nothing is coloured; default: abstention.json of the model, else
    the shipped thresholds."""
    audit: str = ""
    """File that one line per prediction is appended to; default: the standard error stream."""
    queue: int = 32
    """Requests that may wait or be worked on; one more is answered 429 with Retry-After."""
    batch: int = 8
    """Images that go through the model at once."""
    decoders: int = 2
    """Threads that read images."""
    max_mb: float = 40.0
    """Largest body of a request, in MiB."""
    memory_mb: float = 512.0
    """Bodies that are held at once, in MiB, all requests together."""
    max_megapixels: float = 25.0
    """Largest image, known before it is decoded."""
    max_films: int = 8
    """Images in one request."""
    timeout: float = 30.0
    """Seconds for a request, from its first byte to its answer."""

    def __post_init__(self) -> None:
        whole = ("queue", "batch", "decoders", "max_films")
        for name in (*whole, "max_mb", "memory_mb", "max_megapixels", "timeout"):
            if not getattr(self, name) > 0 or (name in whole and getattr(self, name) < 1):
                raise XLIPError(f"serve: {name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.port <= 65535:
            raise XLIPError(f"serve: port: expected 0 to 65535, got {self.port}")
        if self.memory_mb < self.max_mb:
            raise XLIPError(f"serve: memory_mb ({self.memory_mb:g}) must hold one body of max_mb ({self.max_mb:g})")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Names that a Host header may have; empty: any."""
        named = {name.strip().lower() for name in self.hosts.split(",") if name.strip()}
        return frozenset(named | {"localhost", "127.0.0.1", "[::1]", self.host} if self.loopback else named)
