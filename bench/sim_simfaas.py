"""SimFaaS on the scenario of `sim_speed peer`: prints requests, seconds of CPU and its figures.

Arguments: arrival rate (per second), mean warm and cold service (seconds), idle time (seconds),
simulated time (seconds). Needs `pip install simfaas`.
"""

import contextlib
import io
import json
import sys
import time

from simfaas.ServerlessSimulator import ServerlessSimulator

rate, warm, cold, idle, seconds = map(float, sys.argv[1:6])
simulator = ServerlessSimulator(
    arrival_rate=rate,
    warm_service_rate=1 / warm,
    cold_service_rate=1 / cold,
    expiration_threshold=idle,
    max_time=seconds,
)
begin = time.process_time()
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    simulator.generate_trace(debug_print=False, progress=False)
elapsed = time.process_time() - begin
print(
    json.dumps(
        {
            "requests": simulator.total_req_count,
            "cpu_seconds": elapsed,
            "cold_share": simulator.get_cold_start_prob(),
            "instances": simulator.get_average_server_count(),
        }
    )
)
