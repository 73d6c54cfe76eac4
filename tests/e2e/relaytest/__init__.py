# SPDX-License-Identifier: MIT
"""The harness of the end-to-end tests: one loop, one real daemon, verified bytes.

Everything runs in one thread on one selector: publishers, subscribers and the daemon's log. A test
drives the loop until a condition holds; nothing sleeps, and every wait has a ceiling.
"""
