"""A running emulator, and how its orgs are reached."""

import os
import re
import subprocess


class Emulator:
    """`orgbridge emulator` with the given options, until `stop`."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [os.environ["ORGBRIDGE"], "emulator", *options], stdout=subprocess.PIPE, text=True
        )
        self.values = {}
        for line in self.process.stdout:
            if found := re.match(r"(?:export|#) (\w+)=(.*)", line.strip()):
                self.values[found[1]] = found[2]
            if line.startswith("# ready"):
                return
        raise RuntimeError("the emulator did not start")

    def __getitem__(self, name):
        return self.values[name]

    def stop(self):
        self.process.terminate()
        self.process.stdout.close()
        if self.process.wait(timeout=20) != 0:
            raise RuntimeError(f"the emulator ended with {self.process.returncode}")
