# `make` alone prints what there is. The recipes only call other programs; what is longer than a line is in hack/.

CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2
CARGO_MUTANTS_VERSION := 27.1.0
TYPOS_VERSION := 1.52.0

export REGISTRY_CLEANUP_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/registry-cleanup-operator

control_plane := cargo run --quiet --locked --package control-plane --
# Only expanded where it is used: builds helm if it is not there yet.
helm = $$($(control_plane) which helm)
kubectl = $$($(control_plane) which kubectl)

.DEFAULT_GOAL := help
.PHONY: help demo demo-stop test test-unit test-oldest test-upgrades test-older dashboard dist reproducible release-local mutants fuzz bench bench-check chaos model checklist \
	checklist-docs doc-commands lint lint-words axe kube-score generate schemas tools fmt clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

demo: ## see the operator at work: a real API server, a simulated GitLab, one policy (KEEP=1 leaves it up)
	@hack/demo.sh

demo-stop: ## end what `make demo KEEP=1` left up
	@hack/demo.sh stop

# Most of them wait for something most of the time.
test: export RUST_TEST_THREADS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 4); [ "$$n" -gt 4 ] && echo "$$n" || echo 4)
test: ## run every test, also those that need Kubernetes and helm (built on first use)
	cargo test --workspace --locked --no-fail-fast

test-oldest: ## run the smoke tests on the oldest Kubernetes that is supported (KUBERNETES=1.36.3 for another one)
	@hack/test-oldest.sh

test-upgrades: ## upgrade from each published chart and go back with Helm 3, which is built for it; `make test` has Helm 4
	@hack/test-upgrades.sh

test-older: ## let the program of the version before loose on what a later one wrote (REVISION=1a2b3c4 for another version)
	@hack/test-older.sh

dashboard: ## scrape a run with a real Prometheus, put the dashboard's questions to it, and draw docs/dashboard.svg
	@hack/dashboard.sh

test-unit: ## run the tests that need nothing but Rust: everything that decides
	cargo test --locked --lib

dist: ## build the program as it is released into dist/, static, for amd64 and arm64
	@hack/dist.sh dist

reproducible: ## build the program of HEAD twice in different folders and compare the bytes (minutes each)
	@hack/reproducible.sh

release-local: ## rehearse a release: everything that is published, signed with a key that is thrown away, pushed to loopback
	@hack/release.sh --local

mutants: ## change what decides, bit by bit, and show what no unit test notices (hours; ARGS="--shard 0/10" for a part)
	@hack/mutants.sh $(CARGO_MUTANTS_VERSION) $(ARGS)

fuzz: ## feed the readers of text from outside with what nobody would write (SECONDS=60 for each; ARGS="pattern rest" for some)
	@hack/fuzz.sh $(CARGO_FUZZ_VERSION) $(or $(SECONDS),60) $(ARGS)

bench: ## measure what cleaning costs (SHAPES="S M L XL" with what takes long; WRITE=docs/benchmarks.md keeps the table)
	cargo bench --locked --bench plan
	cargo bench --locked --bench backtest
	cargo bench --locked --bench clean -- $(SHAPES) $(if $(WRITE),--write=$(WRITE))

bench-check: ## clean the small registries and fail where it takes a tenth more than docs/benchmarks.md says (SHAPES="S M")
	@hack/bench-check.sh $(SHAPES)

chaos: ## kill, freeze, cut and disturb operators at random and look whether anything went that had to stay (MINUTES=20 STRIKES=1000 SEED=7)
	cargo bench --locked --profile dev --bench chaos -- --minutes=$(or $(MINUTES),2) --strikes=$(or $(STRIKES),200) \
		--seed=$(or $(SEED),1)

checklist: ## run every row of the checklists and write docs/checklist.md with what holds (SLOW=1: the slow ones too; ROWS="v1:64 v2:9" for some)
	@hack/checklist.sh

checklist-docs: checklist ## the same

doc-commands: ## run the commands of the documentation against a real API server (PAGES="docs/incident.md" for some)
	@hack/doc-commands.sh $(PAGES)

model: ## drive the decisions through a million random schedules of crashes, cuts and lost answers (SCHEDULES=1000000 SEED=7)
	SCHEDULES=$(or $(SCHEDULES),1000000) SEED=$(or $(SEED),1) cargo test --locked --release --test model

lint: lint-words ## check format, clippy, documentation, dependencies, chart, manifests, workflows, scripts, alerts, words
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --locked
	@hack/cargo-deny.sh $(CARGO_DENY_VERSION)
	$(helm) lint --strict --quiet charts/registry-cleanup-operator
	@hack/helm-unittest.sh
	@hack/chart-lint.sh
	@hack/reuse.sh
	@hack/kubeconform.sh "$(helm)" "$(kubectl)"
	@hack/workflows.sh
	@hack/pipelines.sh
	@hack/shellcheck.sh
	@hack/promtool.sh

axe: ## look at the report in Chromium, wide and narrow, light and dark, with axe-core (KEEP=folder for screenshots)
	@hack/axe.sh $(KEEP)

kube-score: ## judge what the chart renders by kube-score, which is built for it
	@hack/kube-score.sh

lint-words: ## check spelling and Markdown only
	@hack/typos.sh $(TYPOS_VERSION)
	@hack/markdownlint.sh

generate: ## write anew what is generated: crds/, the chart's copy and README, deploy/, two pages of docs/
	cargo build --quiet --locked
	cargo run --quiet --locked -- crd > crds/registrycleanuppolicies.yaml
	cargo run --quiet --locked -- reference > docs/reference.md
	hack/supported.sh > docs/supported.md
	HELM="$(helm)" deploy/generate.sh
	GOWORK=off GOFLAGS=-mod=readonly go -C tests/it/install/helm-docs tool helm-docs --log-level=warning \
		--chart-search-root="$(CURDIR)/charts"

schemas: ## write anew the schemas of tests/schemas and docs/schema, from a real API server (starts a control plane)
	@hack/schemas.sh

tools: ## build what tests and the demo need beforehand: the control plane and helm
	$(control_plane) install --helm

fmt: ## format the Rust code
	cargo fmt --all

clean: ## remove what was built here; the tools in ~/.cache/registry-cleanup-operator stay
	cargo clean
	rm -rf .demo
