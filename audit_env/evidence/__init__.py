"""The fair test of tools: does what a tool shows single out the quirk, with no auditor between?"""
