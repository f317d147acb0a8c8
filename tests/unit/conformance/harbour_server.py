"""The honest service of harbour.py as a process: ``harbour_server.py PORT [DEFECT]``."""

import sys

import uvicorn
from harbour import Batcher, Parts, all_or_nothing, app

# Over sockets, and on a busy machine, what is sent together arrives some milliseconds apart.
DEFECTS = {"none": Parts(), "batch": Parts(gather=Batcher(all_or_nothing, wait_s=0.02))}

if __name__ == "__main__":
    port, defect = sys.argv[1:]
    uvicorn.run(app(DEFECTS[defect]), host="127.0.0.1", port=int(port), log_level="critical", lifespan="off")
