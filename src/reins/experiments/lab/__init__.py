"""The lab on the command line: files, tables and pictures of its studies."""
