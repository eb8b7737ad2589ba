"""What one client may ask of the connection layer, and how long it may take."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes are bytes, times seconds. Progress is any byte moved: a slow honest client is not cut for its total."""

    head_bytes: int = 64 * KIB
    small_body_bytes: int = 64 * KIB
    drain_bytes: int = MIB
    drain_seconds: float = 1.0
    linger_bytes: int = 64 * MIB
    linger_seconds: float = 3.0
    head_seconds: float = 30.0
    idle_seconds: float = 75.0
    progress_seconds: float = 60.0
    stay_seconds: float = 0.005
    parting_seconds: float = 3.0
    threads_min: int = 16
    threads_max: int = 512
    spare_thread_seconds: float = 10.0
