"""The tables of a journal."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS directives (
  number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, conversation INTEGER NOT NULL, source TEXT NOT NULL,
  provenance TEXT NOT NULL, position TEXT NOT NULL, received_as TEXT NOT NULL, payload TEXT NOT NULL,
  user_id TEXT, state TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '', plan TEXT NOT NULL DEFAULT '', created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS workers (
  number INTEGER PRIMARY KEY, directive INTEGER NOT NULL REFERENCES directives, name TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL, agent TEXT NOT NULL DEFAULT '', task TEXT NOT NULL, after TEXT NOT NULL DEFAULT '[]',
  state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  attempt INTEGER NOT NULL DEFAULT 1, not_before REAL NOT NULL DEFAULT 0,
  pane TEXT NOT NULL DEFAULT '', pid INTEGER NOT NULL DEFAULT 0, status INTEGER,
  result TEXT NOT NULL DEFAULT '', created REAL NOT NULL, started REAL, ended REAL);
CREATE INDEX IF NOT EXISTS directives_by_state ON directives (state);
CREATE INDEX IF NOT EXISTS workers_by_directive ON workers (directive);
CREATE INDEX IF NOT EXISTS workers_by_state ON workers (state);
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY, time REAL NOT NULL, tag TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS session_files (name TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, reply TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sizes (
  segment TEXT NOT NULL, offset INTEGER NOT NULL, cols INTEGER NOT NULL, rows INTEGER NOT NULL);
"""
