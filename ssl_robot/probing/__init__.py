"""What probes are made of: heads and learners, what they are asked, and how sure the answer is."""
