"""Tiers: places that keep packs, one file per kind. The contract is `vna.storage.tier.Tier`."""
