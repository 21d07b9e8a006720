# A Kubernetes to work with, the images, and proctor in it. Included by the Makefile.
# PROCTOR_CLUSTER=name picks one of several clusters side by side (dev); `make demo` has its own.
PROCTOR_CLUSTER ?= dev
CLUSTER := uv run --no-sync python -m proctor_cluster

.PHONY: cluster images install demo demo-governance down

cluster: setup ## find or start a Kubernetes, and say which and why
	@$(CLUSTER) up --name $(PROCTOR_CLUSTER)

images: setup ## build the images and bring them to the cluster
	@$(CLUSTER) images --name $(PROCTOR_CLUSTER)

install: setup ## build, load and install proctor
	@$(CLUSTER) install --name $(PROCTOR_CLUSTER)

demo: setup ## an agent at work in a cluster of its own
	@$(CLUSTER) demo --name demo

demo-governance: setup ## what an agent may not do it does not do, and it is proven: rules, people, budgets, the record
	@$(CLUSTER) demo-governance --name demo

down: setup ## remove the clusters that the targets above started, and all they left
	@$(CLUSTER) down --name $(PROCTOR_CLUSTER)
	@$(CLUSTER) down --name demo
