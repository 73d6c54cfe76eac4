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
mode_coverage := -O0 -g --coverage -fprofile-update=atomic
ifeq ($(mode_$(MODE)),)
$(error MODE is "debug", "release" or "coverage", not "$(MODE)")
endif

ifneq ($(SANITIZE),)
sanitize := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(MODE),release)
HARDENING += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif

all_cflags  = -std=gnu17 -D_GNU_SOURCE -Irelay -I. $(CPPFLAGS) $(WARNINGS) $(if $(WERROR),-Werror) \
	$(HARDENING) $(mode_$(MODE)) $(sanitize) -pthread $(CFLAGS)
all_ldflags = $(HARDENING_LINK) $(sanitize) $(if $(filter coverage,$(MODE)),--coverage) -pthread $(LDFLAGS)
LIBS       := -lev -linih -lsystemd -lcrypto -ljansson -lnats -lz

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(Q),@printf '  %-7s %s\n' $(1) $@)

# All cores; -j on the command line wins.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

# --- sources ------------------------------------------------------------------------------------------------------

objects = $(patsubst %.c,$(obj)/%.o,$(1))

# relay is relay/FOLDER/*.c and config/ with config/check/; its tools are one folder deeper.
relay_src    := $(wildcard relay/*/*.c config/*.c config/check/*.c)
base_src     := $(wildcard relay/base/*.c)
relaycat_src := $(wildcard relay/tools/relaycat/*.c)
relaypub_src := $(wildcard relay/tools/relaypub/*.c)
relayctl_src := $(wildcard relay/tools/relayctl/*.c)
tool_src     := $(wildcard relay/tools/shared/*.c)
# What is on the disk, for those who look at it.
file_src     := $(wildcard relay/history_file/*.c)

# Counts are also written where relay would not (tests/coverage).
ifeq ($(MODE),coverage)
coverage_src  := tests/coverage/dump.c
coverage_link := $(addprefix -Wl$(comma)--wrap=,status_log _exit)
endif

programs     := $(bin)/relay $(bin)/relaycat $(bin)/relaypub $(bin)/relayctl

.PHONY: all run install deb clean help dirs FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(programs)

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
$(obj)/relay/admin/admin_page.o: $(wildcard relay/admin/page/*)

define link
$(call say,LINK)
@mkdir -p $(@D)
$(Q)$(CC) $(all_ldflags) $(1) -o $@ $(filter %.o,$^) $(filter %.a,$^)
endef

$(bin)/relay: $(call objects,$(relay_src) $(coverage_src))
	$(call link,$(coverage_link)) $(LIBS)

$(bin)/relaycat: $(call objects,$(relaycat_src) $(tool_src) $(base_src))
	$(call link)

$(bin)/relaypub: $(call objects,$(relaypub_src) $(tool_src) $(base_src))
	$(call link)

$(bin)/relayctl: $(call objects,$(relayctl_src) $(tool_src) $(file_src) $(base_src))
	$(call link) -ljansson

-include $(patsubst %.o,%.d,$(call objects,$(relay_src) $(tool_src) $(relaycat_src) $(relaypub_src) $(relayctl_src)))

include tests/rules.mk

# --- use ----------------------------------------------------------------------------------------------------------

# The scripts below call make for what they need; MAKEFLAGS is emptied because they are not part of this make's
# jobs. Variables given on the command line (CC, MODE, SANITIZE, ...) reach them through the environment. By exec,
# so that a signal which make passes on reaches the script and not a shell above it.

run:
	@tests/install-packages build
	@exec env MAKEFLAGS= deploy/demo

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
	$(put) -t $(DESTDIR)$(DOCDIR) $(filter-out deploy/doc/examples,$(wildcard deploy/doc/*)) \
		deploy/debian/copyright
	sed -E 's!\]\(deploy/(doc|debian)/!](!g' README.md >$(DESTDIR)$(DOCDIR)/README.md
	$(put) -t $(DESTDIR)$(DOCDIR)/examples deploy/doc/examples/*.ini relay.ini.example deploy/grafana/relay.json \
		deploy/prometheus/relay.rules.yml
	$(put) -t $(DESTDIR)$(DOCDIR)/examples/scale-out deploy/doc/examples/scale-out/*
	test -e $(etc)/relay.ini || install -m 644 relay.ini.example $(etc)/relay.ini
	@[ -n "$(DESTDIR)" ] || echo 'Installed. To start the service: systemd-sysusers; systemd-tmpfiles --create;' \
		'sysctl --system; journalctl --update-catalog; systemctl daemon-reload; systemctl enable --now relay'

deb:
	@tests/install-packages deb
	@exec env MAKEFLAGS= deploy/build-deb

clean:
	rm -rf build

help:
	@echo 'make            build/relay, build/relaycat, build/relaypub, build/relayctl'
	@echo 'make run        install what is missing, build, and run relay with a demo publisher (Ctrl-C ends it)'
	@echo 'make test       install what is missing, build, and run all tests and lint; SUITES="unit fault ..."'
	@echo 'make test-repeat    all that REPEAT=10 times beside LOAD=4 busy processes; SUITES="e2e service"'
	@echo 'make test-cluster   NATS, relays and HAProxy that are killed, stopped and cut off one after the other'
	@echo 'make test-clients   http listeners with browsers, players, a proxy and 5,000 slow clients, which it installs'
	@echo 'make test-kernels   the engines under the kernels of Debian 12 and of its backports, in qemu; 30 minutes'
	@echo 'make test-power-cuts    relay records in a guest of qemu, whose power is cut 20 times; 10 minutes'
	@echo 'make test-service   of these, those that boot systemd in a container (root; systemd-nspawn)'
	@echo 'make lint       the rules of the tree; LINTS="floors calls ..." for some of them'
	@echo 'make bench      measure, 15 to 25 minutes, QUICK=1: 2; tables and CSV in build/bench'
	@echo 'make bench-matrix      auto against the best engine, 32 cells; 30 minutes at most, QUICK=1: 4'
	@echo 'make bench-isolation   healthy subscribers beside ones that do not read: relay, Redis, NATS, Mosquitto, Nchan'
	@echo 'make bench-workers     CPU time for a GB with 1, 2 and 4 workers at the same load; build/bench/workers.md and .csv'
	@echo 'make bench-compressed  lines of JSON to 1,000 WebSockets, as they are and compressed once for all; 4 minutes'
	@echo 'make bench-history     recording and replay, beside bare loops, JetStream and Redis; PARTS="warm cold ..." for some'
	@echo 'make bench-transfer    one file to one socket, the ways compared; build/bench/transfer.md, .csv and .png'
	@echo 'make bench-peers       relay, Redis, NATS, Mosquitto, Nchan, Icecast, ncat, ZeroMQ and nng; build/bench/peers'
	@echo 'make bench-sweep       copy, splice and compact over segment, message size, receive buffer; build/bench/sweep'
	@echo 'make soak-short        15,000 subscribers that come and go, then 10,000 that stand still: about 4 minutes'
	@echo 'make soak-upgrade      10,000 subscribers at full rate over 20 upgrades in place and 20 restarts: 4 minutes'
	@echo 'make soak-history      200 times SIGKILL to relay, and its history loses what was not synced, or is damaged: 20 minutes'
	@echo 'make soak-crash        100 times SIGKILL to relay.service, in a container: nobody may be refused: 4 minutes'
	@echo 'make soak              two hours of all that happens in a year, and nothing left behind; SECONDS=7200 SEED=...'
	@echo 'make soak-fuzz         random peers of all kinds against a model, with sanitizers; SECONDS=600 SEED=...'
	@echo 'make torture    each system call and each allocation of relay fails; TORTURE="--share 10 --only reload"; hours'
	@echo 'make fuzz       FUZZ_RUNS=5000000 inputs for each parser (clang); TARGETS="websocket ..."; half an hour'
	@echo 'make coverage   how much of relay/ and config/ the tests reach: build/coverage/index.html; a quarter of an hour'
	@echo 'make install    PREFIX=$(PREFIX) SYSCONFDIR=$(SYSCONFDIR) DESTDIR=$(DESTDIR)'
	@echo 'make deb        the Debian package, into build/deb (no root; lintian clean)'
	@echo 'make test-package      install, upgrade and purge it in a Debian made for that (root; debootstrap)'
	@echo 'make clean      remove build/'
	@echo
	@echo 'MODE=release|debug|coverage   SANITIZE=address,undefined|thread   CC=gcc|clang   WERROR=1   V=1 shows the commands.'
	@echo 'Each combination has its own objects; only the plain gcc release build is build/relay, the others are'
	@echo 'build/COMPILER-MODE-SANITIZERS/relay.'
