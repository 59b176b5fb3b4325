"""HTTP/1.1 on this machine only: loopback TCP and Unix sockets, over h11.

A small server for the intake and the control socket, and a small blocking client for the
command line. aiohttp would do the same for 12 MB of resident memory; h11 takes 0.6 MB.
"""
