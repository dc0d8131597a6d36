//! What the tests start: ports, processes, real servers
