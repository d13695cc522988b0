"""The two towers, their heads and decoders, and what turns files and strings into their inputs."""
