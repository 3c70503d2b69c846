"""Why a network does not train: the doctor examines copies, the monitor watches a loop of your own."""

from orograph.diagnose.doctor import doctor
from orograph.diagnose.monitor import Monitor, MonitorWarning
from orograph.diagnose.run import Run
from orograph.diagnose.watching import watching

__all__ = ["Monitor", "MonitorWarning", "Run", "doctor", "watching"]
