"""Where the shards of a data job are made: in this process, in several, or on a Ray cluster.

The bytes of a shard depend on the job and the shard alone, so every runner makes the same folder. A
worker that dies loses the shard that it was at, which is made again; a shard that it had finished
is found in the manifest and not made twice.
"""
