"""What an audit came to, told: in words, in tables, in pictures, as files for programs, and beside another audit."""
