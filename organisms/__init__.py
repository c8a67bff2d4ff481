"""Who is audited: one folder an organism, with its card; quirks, the menu and game sets beside them."""
