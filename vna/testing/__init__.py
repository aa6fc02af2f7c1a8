"""Parts for tests: faulty tiers, data set strategies, peers. Production code never imports it."""
