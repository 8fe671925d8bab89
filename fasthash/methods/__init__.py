"""Published methods, each a plan of stages built from losses, teachers, networks and data."""

from fasthash.methods.adsh import ADSH
from fasthash.methods.distillhash import DistillHash
from fasthash.methods.dpsh import DPSH
from fasthash.methods.dsh import DSH
from fasthash.methods.hashnet import HashNet
from fasthash.methods.itq import ITQ
from fasthash.methods.lsh import LSH
from fasthash.methods.mah import MAH
from fasthash.methods.method import Method
from fasthash.methods.optimiser import OptimiserConfig
from fasthash.methods.pcah import PCAH
from fasthash.methods.plan import Cursor, Plan, Repeat, Stage, walk
from fasthash.methods.pts3h import PTS3H
from fasthash.methods.registry import available, create, register
from fasthash.methods.skdch import SKDCH
from fasthash.methods.ssdh import SSDH
from fasthash.methods.state import State
from fasthash.methods.two_stream import SupervisedMethod, TwoStreamMethod

__all__ = [
    "ADSH",
    "DPSH",
    "DSH",
    "ITQ",
    "LSH",
    "MAH",
    "PCAH",
    "PTS3H",
    "SKDCH",
    "SSDH",
    "Cursor",
    "DistillHash",
    "HashNet",
    "Method",
    "OptimiserConfig",
    "Plan",
    "Repeat",
    "Stage",
    "State",
    "SupervisedMethod",
    "TwoStreamMethod",
    "available",
    "create",
    "register",
    "walk",
]
