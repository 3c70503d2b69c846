"""What the doctor looks for, from what is known of a patient; each module is one kind of cause."""
