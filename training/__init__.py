"""Programs that make the training material of mirflow's own networks, and train them."""
