"""Does GradInit make networks learn faster and better, and is there more to it than compute and one global scale?"""
