"""An encoder under any policy: one file for each host, which is loaded only there."""
