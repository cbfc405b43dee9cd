"""The machine below the platform: Java, jars, processes, disks, secrets in files."""
