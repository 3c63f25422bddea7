"""Base images and the builds that make nodes' firmware of them."""
