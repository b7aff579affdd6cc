"""The durable queue: rows of the caller's own transaction (items), wake-ups, and the loop that works them."""

from lienthong.queue.items import (
    QUEUE_DDL,
    Claim,
    Item,
    LeaseLost,
    Order,
    claim,
    complete,
    depth,
    finish,
    postpone,
    put,
    release,
    renew,
    retry,
)
from lienthong.queue.wakeups import NotifyBridge, Wakeups
from lienthong.queue.worker import BatchWorker, Worker, WorkerPolicy

__all__ = [
    "QUEUE_DDL",
    "BatchWorker",
    "Claim",
    "Item",
    "LeaseLost",
    "NotifyBridge",
    "Order",
    "Wakeups",
    "Worker",
    "WorkerPolicy",
    "claim",
    "complete",
    "depth",
    "finish",
    "postpone",
    "put",
    "release",
    "renew",
    "retry",
]
