"""What somebody else adds to crossmargin."""
