"""Prepares a corpus again and again, killed at random moments, until one run is quick enough.

python again.py KEY=VALUE ... prints how many were killed.
"""

import os
import random
import signal
import sys
import time

from codeclm.data_prep import prepare


def main() -> None:
    patience, kills = 1.0, 0
    while True:
        child = os.fork()
        if child == 0:
            prepare.run(None, sys.argv[1:])
            sys.stdout.flush()
            os._exit(0)
        until = time.monotonic() + random.uniform(0, patience)
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                kills, patience = kills + 1, 1.5 * patience
                break
            time.sleep(0.005)
        else:
            print("killed", kills)
            return


if __name__ == "__main__":
    main()
