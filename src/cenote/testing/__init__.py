"""What the tests of cenote, and of programs that use it, stand on: real servers, real faults."""
