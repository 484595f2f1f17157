# make builds; make help lists the rest. All real work is CMake's; this file only names the usual ways to call it.
BUILD ?= build
TYPE ?= Release
PREFIX ?= /usr/local
SEDGE_FUZZ_SECONDS ?= 5
GENERATOR := $(shell command -v ninja >/dev/null 2>&1 && echo -G Ninja)

all: $(BUILD)/CMakeCache.txt ## build the library, the command, tests and benches in build/
	cmake --build $(BUILD)

$(BUILD)/CMakeCache.txt:
	cmake -S . -B $(BUILD) $(GENERATOR) -DCMAKE_BUILD_TYPE=$(TYPE)

setup: ## install what the build needs (apt)
	scripts/setup.sh

test: ## everything that is checked: both compilers, sanitizers, fuzzing, install, all tests (about 20 minutes)
	SEDGE_FUZZ_SECONDS=$(SEDGE_FUZZ_SECONDS) scripts/test.sh

check: all ## the tests of the ordinary build alone (about two minutes)
	ctest --test-dir $(BUILD) --output-on-failure -j 2

demo: all ## a synthetic shop from nothing to a report, a few minutes
	scripts/demo.sh $(BUILD)/sedge

bench: all ## run the benches; CSV on stdout
	scripts/bench.sh $(BUILD)

asan ubsan tsan: ## tests under one sanitizer
	scripts/sanitize.sh $@

fuzz: ## every parser for SEDGE_FUZZ_SECONDS seconds
	SEDGE_FUZZ_SECONDS=$(SEDGE_FUZZ_SECONDS) scripts/fuzz.sh

lint: all ## layout, clang-tidy, and who may include whom
	scripts/check_layers.sh
	scripts/lint.sh $(BUILD)

format: ## clang-format over the files that git says have changed
	git diff --name-only --diff-filter=d HEAD -- '*.c' '*.h' | xargs -r clang-format -i

install: all ## into PREFIX (default /usr/local)
	cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove every build folder
	rm -rf build build-*

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z ]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

.PHONY: all setup test check demo bench asan ubsan tsan fuzz lint format install clean help
