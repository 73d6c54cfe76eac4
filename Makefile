# SPDX-License-Identifier: MIT
# relay: build, test, install. `make help` lists the targets.

MODE     ?= release
SANITIZE ?=
PREFIX   ?= /usr/local
ifeq ($(origin CC),default)
CC := gcc
endif

BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
UNITDIR    ?= $(LIBDIR)/systemd/system
SYSCONFDIR ?= /etc
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/relay
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions

# --- where things go: every way to build has objects of its own; a plain gcc release build is build/relay ---------

comma   := ,
variant := $(notdir $(CC))-$(MODE)$(addprefix -,$(subst $(comma),-,$(SANITIZE)))
obj     := build/obj/$(variant)
bin     := $(if $(filter gcc-release,$(variant)),build,build/$(variant))
test    := $(obj)/tests

# --- flags --------------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wpointer-arith \
	-Wwrite-strings -Wswitch-enum -Wvla -Wformat=2 -Wconversion -Wno-sign-conversion \
	-Werror=format-security -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion
HARDENING := -fPIE -fstack-protector-strong -fstack-clash-protection -fno-strict-aliasing -fno-strict-overflow \
	-fno-delete-null-pointer-checks
HARDENING_LINK := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed

mode_release := -O2 -g
mode_debug   := -Og -g3
ifeq ($(mode_$(MODE)),)
$(error MODE is "debug" or "release", not "$(MODE)")
endif

ifneq ($(SANITIZE),)
sanitize := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(MODE),release)
HARDENING += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif

all_cflags  = -std=gnu17 -D_GNU_SOURCE -Irelay -I. $(CPPFLAGS) $(WARNINGS) $(if $(WERROR),-Werror) \
	$(HARDENING) $(mode_$(MODE)) $(sanitize) -pthread $(CFLAGS)
all_ldflags = $(HARDENING_LINK) $(sanitize) -pthread $(LDFLAGS)
LIBS       := -lev -linih -lsystemd -lcrypto -ljansson

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(Q),@printf '  %-7s %s\n' $(1) $@)

# All cores; -j on the command line wins.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

# --- sources ------------------------------------------------------------------------------------------------------

objects = $(patsubst %.c,$(obj)/%.o,$(1))

base_src     := $(wildcard relay/base/*.c)
relay_src    := $(base_src) $(wildcard relay/pipe/*.c relay/ring/*.c relay/feed/*.c relay/net/*.c relay/daemon/*.c) \
	$(wildcard config/*.c)
relaycat_src := $(wildcard relay/tools/relaycat*.c)
relaypub_src := $(wildcard relay/tools/relaypub*.c)
relayctl_src := $(wildcard relay/tools/relayctl*.c relay/tools/doctor*.c) relay/tools/admin_client.c
tool_src     := $(filter-out $(relaycat_src) $(relaypub_src) $(relayctl_src),$(wildcard relay/tools/*.c))
library_src  := $(filter-out relay/daemon/main.c,$(relay_src))

unit_tests   := $(wildcard tests/unit/test_*.c)
unit_src     := $(filter-out $(unit_tests),$(wildcard tests/unit/*.c))
fault_tests  := $(wildcard tests/fault/test_*.c)
fault_src    := $(filter-out $(fault_tests) tests/fault/refuse.c,$(wildcard tests/fault/*.c))
transfer_src := $(wildcard tests/bench/transfer*.c)
bench_src    := $(filter-out $(transfer_src),$(wildcard tests/bench/*.c))
soak_src     := $(wildcard tests/soak/*.c) $(addprefix tests/bench/,cost.c histogram.c wire.c)

fuzz_targets := $(wildcard tests/fuzz/fuzz_*.c)
fuzz_src     := $(filter-out $(fuzz_targets),$(wildcard tests/fuzz/*.c)) $(addprefix tests/unit/,parse_rig.c handover_sample.c)

programs     := $(bin)/relay $(bin)/relaycat $(bin)/relaypub $(bin)/relayctl
unit_bins    := $(unit_tests:tests/%.c=$(test)/%)
fault_bins   := $(fault_tests:tests/%.c=$(test)/%)
fuzz_bins    := $(fuzz_targets:tests/%.c=$(test)/%)
refuse       := $(if $(wildcard tests/fault/refuse.c),$(bin)/librefuse.so)

.PHONY: bench-workers all tests run test test-service lint bench bench-isolation soak-short fuzz fuzzers bench-transfer deb test-package bench-peers bench-sweep soak-upgrade soak-crash test-clients install clean help dirs FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(programs)

tests: all $(unit_bins) $(fault_bins) $(refuse)

# --- compile and link ---------------------------------------------------------------------------------------------

# Holds the flags; touched when they change, so that everything is compiled anew.
$(obj)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(all_cflags) $(all_ldflags) $(LIBS)' | cmp -s - $@ || \
		echo '$(CC) $(all_cflags) $(all_ldflags) $(LIBS)' >$@

$(obj)/%.o: %.c $(obj)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(all_cflags) -MMD -MP -c -o $@ $<

# The status page is taken into its object by the assembler, which tells no dependencies.
$(obj)/relay/daemon/admin_page.o: $(wildcard relay/daemon/page/*)

define link
$(call say,LINK)
@mkdir -p $(@D)
$(Q)$(CC) $(all_ldflags) $(1) -o $@ $(filter %.o %.a,$^)
endef

$(bin)/relay: $(call objects,$(relay_src))
	$(call link) $(LIBS)

$(bin)/relaycat: $(call objects,$(relaycat_src) $(tool_src) $(base_src))
	$(call link)

$(bin)/relaypub: $(call objects,$(relaypub_src) $(tool_src) $(base_src))
	$(call link)

$(bin)/relayctl: $(call objects,$(relayctl_src) $(tool_src) $(base_src))
	$(call link) -ljansson

$(bin)/relay-soak: $(call objects,$(soak_src) $(base_src))
	$(call link)

$(bin)/relay-bench: $(call objects,$(bench_src) $(base_src))
	$(call link) -lm

$(bin)/relay-transfer: $(call objects,$(transfer_src) tests/bench/wire.c relay/tools/positions.c $(base_src))
	$(call link)

# The tests link against everything but main().
$(obj)/librelay.a: $(call objects,$(library_src))
	$(call say,AR)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(unit_bins): $(test)/%: $(obj)/tests/%.o $(call objects,$(unit_src)) $(obj)/librelay.a
	$(call link) $(LIBS) -lcmocka

# Fault tests put tests/fault/wrap.c between the code and these calls.
wrapped := splice tee vmsplice pipe2 recv sendmsg accept4
$(fault_bins): $(test)/%: $(obj)/tests/%.o $(call objects,$(fault_src)) $(obj)/librelay.a
	$(call link,$(addprefix -Wl$(comma)--wrap=,$(wrapped))) $(LIBS) -lcmocka

# libFuzzer brings main(); `make fuzz` sets compiler and sanitizers.
$(fuzz_bins): $(test)/%: $(obj)/tests/%.o $(call objects,$(fuzz_src)) $(obj)/librelay.a
	$(call link,-fsanitize=fuzzer) $(LIBS)

fuzzers: $(fuzz_bins)

# Goes under a running relay by LD_PRELOAD, so it is always built plain.
$(bin)/librefuse.so: tests/fault/refuse.c Makefile
	$(call say,LINK)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -Irelay -I. $(WARNINGS) -O2 -g -fPIC -shared -o $@ $<

-include $(patsubst %.o,%.d,$(call objects,$(relay_src) $(tool_src) $(relaycat_src) $(relaypub_src) $(relayctl_src) \
	$(bench_src) $(soak_src) $(unit_tests) $(unit_src) $(fault_tests) $(fault_src) $(fuzz_targets) $(fuzz_src) $(transfer_src)))

# --- use ----------------------------------------------------------------------------------------------------------

# The scripts below call make for what they need; MAKEFLAGS is emptied because they are not part of this make's
# jobs. Variables given on the command line (CC, MODE, SANITIZE, ...) reach them through the environment. By exec,
# so that a signal which make passes on reaches the script and not a shell above it.

run:
	@tests/install-packages build
	@exec env MAKEFLAGS= deploy/demo

test:
	@tests/install-packages test
	@exec env MAKEFLAGS= tests/run $(SUITES)

test-service:
	@tests/install-packages test
	@exec env MAKEFLAGS= tests/run service

test-clients:
	@tests/install-packages clients
	@exec env MAKEFLAGS= PYTEST_ARGS='-m clients' tests/run e2e

lint: all
	@RELAY_BIN_DIR=$(bin) RELAY_OBJ_DIR=$(obj) tests/lint/run $(LINTS)

bench: all $(bin)/relay-bench
	@RELAY_BIN_DIR=$(bin) tests/bench/run

bench-isolation: all $(bin)/relay-bench
	@tests/install-packages peers || echo 'note: measured is what is installed'
	@RELAY_BIN_DIR=$(bin) tests/bench/isolation

bench-workers: all $(bin)/relay-bench
	@RELAY_BIN_DIR=$(bin) tests/bench/workers

bench-transfer: $(bin)/relay-transfer
	@tests/install-packages test
	@RELAY_BIN_DIR=$(bin) tests/bench/transfer

bench-peers: all $(bin)/relay-bench
	@tests/install-packages peers
	@RELAY_BIN_DIR=$(bin) tests/bench/compare

bench-sweep: all $(bin)/relay-bench
	@tests/install-packages test
	@RELAY_BIN_DIR=$(bin) tests/bench/sweep

soak-short: all $(bin)/relay-soak
	@RELAY_BIN_DIR=$(bin) tests/soak/run

soak-upgrade: all $(bin)/relay-soak
	@RELAY_BIN_DIR=$(bin) tests/soak/run --only upgrade
	@reason=$$(tests/service/run --why-not); [ -z "$$reason" ] && exec tests/service/run --soak || echo "restarts left out: $$reason"

soak-crash: all
	@reason=$$(tests/service/run --why-not); [ -z "$$reason" ] && exec tests/service/run --soak-crash || echo "left out: $$reason"

# Builds of its own: clang, and coverage in all that is fuzzed.
fuzz:
	@tests/install-packages test
	@exec env MAKEFLAGS= tests/fuzz/run $(TARGETS)

# For scripts: where this variant's programs and tests are.
dirs:
	@echo 'RELAY_BIN_DIR=$(bin) RELAY_OBJ_DIR=$(obj)'

# Into $(DESTDIR), and under other names than in deploy/.
etc     := $(DESTDIR)$(SYSCONFDIR)/relay
put      = install -D -m 644
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(UNITDIR) $(etc) $(DESTDIR)$(MANDIR)/man5
	install -m 755 $(programs) $(DESTDIR)$(BINDIR)
	deploy/units $(DESTDIR)$(UNITDIR) $(BINDIR) $(SYSCONFDIR)
	$(put) deploy/relay.sysusers $(DESTDIR)$(LIBDIR)/sysusers.d/relay.conf
	$(put) deploy/relay.tmpfiles $(DESTDIR)$(LIBDIR)/tmpfiles.d/relay.conf
	$(put) deploy/60-relay.conf $(DESTDIR)$(LIBDIR)/sysctl.d/60-relay.conf
	$(put) deploy/relay.catalog $(DESTDIR)$(LIBDIR)/systemd/catalog/relay.catalog
	$(put) -t $(DESTDIR)$(MANDIR)/man1 deploy/man/relaycat.1 deploy/man/relaypub.1 deploy/man/relayctl.1
	$(bin)/relay --print-man >$(DESTDIR)$(MANDIR)/man5/relay.ini.5
	$(put) -t $(DESTDIR)$(MANDIR)/man7 deploy/man/relay-protocol.7
	$(put) -t $(DESTDIR)$(MANDIR)/man8 deploy/man/relay.8
	$(put) deploy/completions/relay.bash $(DESTDIR)$(BASHDIR)/relay
	ln -sf relay $(DESTDIR)$(BASHDIR)/relaycat
	ln -sf relay $(DESTDIR)$(BASHDIR)/relaypub
	ln -sf relay $(DESTDIR)$(BASHDIR)/relayctl
	$(put) -t $(DESTDIR)$(ZSHDIR) deploy/completions/_relay
	$(put) -t $(DESTDIR)$(DOCDIR) deploy/doc/*
	sed 's|](deploy/doc/|](|' README.md >$(DESTDIR)$(DOCDIR)/README.md
	$(put) -t $(DESTDIR)$(DOCDIR)/examples relay.ini.example deploy/grafana/relay.json \
		deploy/prometheus/relay.rules.yml
	test -e $(etc)/relay.ini || install -m 644 relay.ini.example $(etc)/relay.ini
	@[ -n "$(DESTDIR)" ] || echo 'Installed. To start the service: systemd-sysusers; systemd-tmpfiles --create;' \
		'sysctl --system; journalctl --update-catalog; systemctl daemon-reload; systemctl enable --now relay'

deb:
	@tests/install-packages deb
	@exec env MAKEFLAGS= deploy/build-deb

test-package: deb
	@exec env MAKEFLAGS= tests/package/run

clean:
	rm -rf build

help:
	@echo 'make            build/relay, build/relaycat, build/relaypub, build/relayctl'
	@echo 'make run        install what is missing, build, and run relay with a demo publisher (Ctrl-C ends it)'
	@echo 'make test       install what is missing, build, and run all tests and lint; SUITES="unit fault ..."'
	@echo 'make test-clients   http listeners with Chromium, node-ws, ffprobe and 5,000 slow clients, which it installs'
	@echo 'make test-service   of these, those that boot systemd in a container (root; systemd-nspawn)'
	@echo 'make lint       the rules of the tree; LINTS="floors calls ..." for some of them'
	@echo 'make bench      measure; table and CSV in build/bench'
	@echo 'make bench-isolation   healthy subscribers beside ones that do not read: relay, Redis, NATS, Mosquitto, Nchan'
	@echo 'make bench-workers     two workers against one, on the same cores; build/bench/workers.md and .csv'
	@echo 'make bench-transfer    one file to one socket, the ways compared; build/bench/transfer.md, .csv and .png'
	@echo 'make bench-peers       relay, Redis, NATS, Mosquitto, Nchan, Icecast and ncat on the same load; build/bench/peers'
	@echo 'make bench-sweep       copy, splice and compact over segment, message size, receive buffer; build/bench/sweep'
	@echo 'make soak-short        15,000 subscribers that come and go, then 10,000 that stand still: about 4 minutes'
	@echo 'make soak-upgrade      10,000 subscribers at full rate over 20 upgrades in place and 20 restarts: 4 minutes'
	@echo 'make soak-crash        100 times SIGKILL to relay.service, in a container: nobody may be refused: 4 minutes'
	@echo 'make fuzz       FUZZ_RUNS=5000000 inputs for each parser (clang); TARGETS="websocket ..."; half an hour'
	@echo 'make install    PREFIX=$(PREFIX) SYSCONFDIR=$(SYSCONFDIR) DESTDIR=$(DESTDIR)'
	@echo 'make deb        the Debian package, into build/deb (no root; lintian clean)'
	@echo 'make test-package      install, upgrade and purge it in a Debian made for that (root; debootstrap)'
	@echo 'make clean      remove build/'
	@echo
	@echo 'MODE=release|debug   SANITIZE=address,undefined|thread   CC=gcc|clang   WERROR=1   V=1 shows the commands.'
	@echo 'Each combination has its own objects; only the plain gcc release build is build/relay, the others are'
	@echo 'build/COMPILER-MODE-SANITIZERS/relay.'
