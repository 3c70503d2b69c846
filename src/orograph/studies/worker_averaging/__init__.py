"""When may workers that train one network be averaged?"""
