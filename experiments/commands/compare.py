"""Put two audits side by side."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class Compare:
    """Put two audits side by side: where they say the same of an invariance and a component, and where not.

    Attributes:
        first: Folder of an audit, or its report.json.
        second: Another one.
        json: Print one JSON object instead of a table.
    """

    first: Positional[Path]
    second: Positional[Path]
    json: bool = False

    def run(self) -> int:
        """Print a sentence, in what the audits were not made alike, then every verdict."""
        from ssl_robot.reporting import comparison, differences

        first, second = comparison.read(self.first), comparison.read(self.second)
        found, unlike = comparison.pairs(first, second), differences.differences(first, second)
        said = comparison.summary(found)
        if self.json:
            rows = [{**asdict(pair), "relation": pair.relation} for pair in found]
            told = {"summary": said, "differences": [asdict(one) for one in unlike], "verdicts": rows}
            print(json.dumps(told, allow_nan=False))
            return 0
        print(f"first   {self.first}\nsecond  {self.second}\n{said}\n")
        if unlike:
            print("\n".join([*differences.told(unlike), ""]))
        print("\n".join(comparison.table(found)))
        print("\n~ differs   ! one hurts, the other helps   + only in one of them")
        return 0
