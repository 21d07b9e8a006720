# Benchmarks: they print tables, with the machine's own limit measured beside them. Included by the Makefile.
# AGENTS="100 1000" measures one fleet after the other.
AGENTS ?= 100

.PHONY: bench-operator

bench-operator: ## the operator under a fleet of AGENTS="100 1000", beside plain Deployments
	@uv run python -m tests.bench.fleet --agents $(AGENTS)

.PHONY: bench-record

bench-record: ## what the record adds to a call, beside the disk's own limit, and how fast it is verified
	@uv run python -m tests.bench.record

RUNS ?= 500

.PHONY: bench-evidence

bench-evidence: ## errors and cost of the evidence of upgrades, simulated; writes docs/evidence.md
	@uv run python -m tests.bench.evidence --runs $(RUNS) --write

.PHONY: bench-gateway
bench-gateway: ## the gateway's finished path on one core, beside a bare upstream; ENVOY= and LITELLM= name programs to compare
	@uv run python -m tests.bench.gateway $(if $(ENVOY),--envoy $(ENVOY)) $(if $(LITELLM),--litellm $(LITELLM))

.PHONY: bench-agentdojo

# AgentDojo brings the clients of several model providers along: it lives in an environment of this command's own.
bench-agentdojo: ## AgentDojo's attacks against the policies, with a model that obeys every injection
	@PYTHONPATH=operator:runtime:. uv run --no-project --isolated --python 3.11 --with agentdojo==0.1.35 --with pydantic \
		--with pyyaml --with cel-expr-python --with jsonschema --with phonenumbers --with python-stdnum \
		python -m tests.bench.agentdojo.run $(if $(VERBOSE),-v)

.PHONY: bench-kills
KILLS ?= 100
STORE ?= sqlite
bench-kills: ## KILLS of gateways, agents and connections to STORE, and how often each effect was done; RUNS_FILE= adds runs up
	@uv run python -m tests.bench.kills --kills $(KILLS) --store $(STORE) $(if $(SEED),--seed $(SEED)) $(if $(RUNS_FILE),--runs $(RUNS_FILE))

.PHONY: bench-rollout-kills
bench-rollout-kills: ## kill -9 of operator, gateway and both at every phase of an upgrade, on a real Kubernetes; PHASE=draining picks some
	@uv run --no-sync pytest tests/e2e/test_rollout_kills.py -m nightly -s $(if $(PHASE),-k "$(PHASE)")
