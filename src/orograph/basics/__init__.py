"""Leaves that know nothing of the rest: errors, seeds, numerics, files, progress, references to user code.

The modules are imported one by one (``from orograph.basics.errors import DataError``), so that a part of the
package that must open without torch can use those that do not need it.
"""
