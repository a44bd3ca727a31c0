"""The scenarios that come with the product, under Rally's names where Rally has them."""
